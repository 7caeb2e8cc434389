"""The outer wall: each adapter implements a port with one technology."""
