"""The parameters in force per symbol: how they came to be, what challenges them, and how they are taken back."""
