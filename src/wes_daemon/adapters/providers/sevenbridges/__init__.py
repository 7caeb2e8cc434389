"""Runs as tasks of Seven Bridges (Velsera) platforms, through sevenbridges-python."""
