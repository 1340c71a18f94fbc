"""HTTP itself: requests and answers, routes, OpenAPI, the server and its connections."""
