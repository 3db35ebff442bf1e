"""`python -m mtl_traffic` does the same as `mtl-traffic`."""

from mtl_traffic.commands.main import main

if __name__ == "__main__":
  main()
