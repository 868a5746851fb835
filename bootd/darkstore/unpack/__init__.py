"""Images that are no raw disk made one: qcow2 files and Clonezilla's folders, each by its own programs."""
