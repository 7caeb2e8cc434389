"""The remote WES provider: runs requests on any server with the GA4GH WES API, version 1.0 or 1.1."""
