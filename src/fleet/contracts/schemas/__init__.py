"""
How the custom resources are described to the Kubernetes API: OpenAPI schemas, CEL rules, CRDs.

What a field means, and what it may be, stands in `fleet.contracts.resources` and `scores`; here
it is only put into the API server's words.
"""
