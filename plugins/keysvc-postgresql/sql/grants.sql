-- Run as keysvc_owner or an administrator, after `keysvc init` and after each upgrade of the schema.
-- The audit trail can be added to, never changed.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    system, guard, versions, rotation, backup, applications, mappings, credentials, servers, identities, enrolments, outbox,
    deliveries, used_tickets
    TO keysvc;
GRANT SELECT, INSERT ON audit TO keysvc;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO keysvc;
