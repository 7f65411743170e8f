"""The lab's Kubernetes API: etcd, kube-apiserver and kube-controller-manager as processes."""
