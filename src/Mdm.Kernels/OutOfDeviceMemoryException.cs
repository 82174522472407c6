namespace Mdm.Kernels;

/// <summary>A device has no room for a tensor. The message says what was asked for, held and free, and what to lower.</summary>
public sealed class OutOfDeviceMemoryException(string message) : OutOfMemoryException(message);
