"""The embedded parts: a file key store, and mapping stores on SQLAlchemy Core. `keysvc.stores.sql` and `.schema` are
also for plugins that add a database."""
