"""Enterprise SSO's XML: parsed, understood, imported. docs/reference/entsso-xml.md describes the format."""
