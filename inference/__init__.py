"""What is decided: AI agents (`inference.agents`), the engines that answer them, and what becomes of their answers."""
