"""Users, groups, organizations, API tokens, roles and sharing: one access control list for every resource."""
