"""Contagion: how losses and stress pass from one venue or participant to others."""
