-- Run after `keysvc init` and after each upgrade of the schema. The audit trail can be added to, never changed.
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
GRANT SELECT, INSERT ON dbo.audit TO keysvc;
