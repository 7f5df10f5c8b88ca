"""The product's programs in emulators of AWS that others wrote; `make worlds` runs them. See README.md."""
