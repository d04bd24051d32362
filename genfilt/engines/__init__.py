"""Engines that run functions over many items: this host's processes, or a cluster."""
