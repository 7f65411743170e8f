"""The controller in Kubernetes: `Deployment` resources to desired state, reports to status."""
