-- Run once by an administrator, in the new database. `keysvc_owner` makes and upgrades the tables; `keysvc` is what the
-- services use. For Windows and Entra accounts: CREATE USER … FOR LOGIN, or FROM EXTERNAL PROVIDER, under these names.
ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE;
CREATE USER keysvc_owner FOR LOGIN keysvc_owner WITH DEFAULT_SCHEMA = dbo;
CREATE USER keysvc FOR LOGIN keysvc WITH DEFAULT_SCHEMA = dbo;
GRANT CREATE TABLE TO keysvc_owner;
GRANT ALTER, REFERENCES, SELECT, INSERT, UPDATE, DELETE ON SCHEMA::dbo TO keysvc_owner;
