"""The dark store: a folder of disk images, recognised, described and copied into."""
