"""Every kernel in the form that GPUs run, on small inputs, for tools that look at kernels: oclgrind and ptxas."""
