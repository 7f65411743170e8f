"""The controller in Kubernetes: turns `Deployment` resources into desired state, folds reports into status."""
