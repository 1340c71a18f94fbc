"""The pages, by subject. Each module has the `PLACES` of the menu and its `ROUTES`: path, handler, whether it takes a
form."""
