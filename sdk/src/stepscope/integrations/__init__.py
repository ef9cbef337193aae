"""What `stepscope.instrument()` knows of other libraries; each module is loaded when its library is."""
