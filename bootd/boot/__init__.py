"""What a machine boots: the snapshot, the decision, and the answers made from it."""
