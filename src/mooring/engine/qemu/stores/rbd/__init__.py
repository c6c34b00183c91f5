"""Layers as images in a Ceph cluster; docs/design/ceph.md says why so."""
