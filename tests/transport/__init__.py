"""What RFC 7672, 8461 and 8689 say of each state of DNS, policy, certificate and STARTTLS, on real servers."""
