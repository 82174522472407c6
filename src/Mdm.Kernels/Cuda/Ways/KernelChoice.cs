namespace Mdm.Kernels.Cuda;

/// <summary>Which kernels compute products and convolutions on a GPU.</summary>
public enum KernelChoice
{
    /// <summary>The program's own, with tiles that are reckoned from the sizes: needs nothing and measures nothing.</summary>
    Own,

    /// <summary>cuBLASLt and cuDNN, where they are there and can; else the program's own.</summary>
    Library,

    /// <summary>The fastest for each shape, of the program's own tiles and the libraries; measured once and kept on
    /// disk.</summary>
    Auto,
}
