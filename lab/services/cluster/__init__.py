"""
The lab's Kubernetes API: etcd, kube-apiserver and kube-controller-manager as processes.

Here belong command lines, identities, kubeconfigs, and a client for tests and benchmarks.
"""
