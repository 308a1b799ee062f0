"""The directory: partners, secure-domain register, purposes and policy, in one immutable, content-addressed snapshot."""
