"""One typed, frozen request for each operation of an SSO server, by subject. `SSO.perform` carries them out."""
