-- Run as keysvc_owner or an administrator, after `keysvc init` and after each upgrade of the schema.
-- The audit trails can be added to and pruned, never changed; `keysvc audit verify` finds what was deleted otherwise.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    system, guard, versions, rotation, backup, applications, mappings, credentials, servers, identities, enrolments, outbox,
    deliveries, used_tickets
    TO keysvc;
GRANT SELECT, INSERT, DELETE ON audit TO keysvc;
GRANT SELECT, UPDATE ON audit_heads TO keysvc;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO keysvc;
