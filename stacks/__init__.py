"""Sites: what a site file says, how it is read and checked, and how the components are composed into one stack."""
