"""Events of the services, received through queues."""
