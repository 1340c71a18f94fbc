"""What `keysvc demo` plays, and the estate that it plays with: `data/`, in Enterprise SSO's XML."""
