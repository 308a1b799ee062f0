"""The directory: partners, secure-domain register, purposes and policy, in one content-addressed snapshot."""
