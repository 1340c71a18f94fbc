-- Run once by an administrator, in the new database. Passwords: \password keysvc_owner, \password keysvc
CREATE ROLE keysvc_owner LOGIN;
CREATE ROLE keysvc LOGIN;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO keysvc_owner;
GRANT USAGE ON SCHEMA public TO keysvc;
