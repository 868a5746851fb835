"""Drivers: what bootd does to the world outside, each kind behind one interface."""
