-- Run after `keysvc init` and after each upgrade of the schema. The audit trails can be added to and
-- pruned, never changed; `keysvc audit verify` finds what was deleted otherwise.
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.system TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.guard TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.versions TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.rotation TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.[backup] TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.applications TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.mappings TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.credentials TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.servers TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.identities TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.enrolments TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.outbox TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.deliveries TO keysvc;
GRANT SELECT, INSERT, UPDATE, DELETE ON dbo.used_tickets TO keysvc;
GRANT SELECT, INSERT, DELETE ON dbo.audit TO keysvc;
GRANT SELECT, UPDATE ON dbo.audit_heads TO keysvc;
