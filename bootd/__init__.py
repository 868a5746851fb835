"""bootd: what each machine boots, decided in one place."""

__version__ = "0.1.0"
