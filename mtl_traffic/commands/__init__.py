"""What `mtl-traffic` calls: flags in, a library call, an exit status out."""
