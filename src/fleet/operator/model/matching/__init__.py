"""
Which deployments match which devices: selectors, the index over labels, pairs and relations.

Here belongs what is asked of labels, and how it is answered without looking at everything. What
a device or a deployment is belongs in `fleet.operator.model`.
"""
