"""HTTP: boot scripts, files, reports of nodes, health; and what an admin asks."""
