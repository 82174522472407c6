namespace Mdm.Kernels;

/// <summary>A device has no room for a tensor. The message says what was asked for, held and free, and what to lower.</summary>
/// <param name="facts">The figures.</param>
/// <param name="advice">What to lower; null: nothing is known to help.</param>
public sealed class OutOfDeviceMemoryException(string facts, string? advice = null)
    : OutOfMemoryException(advice == null ? facts : $"{facts}; {advice}")
{
    /// <summary>The same, said by somebody who knows what the memory was for and what helps there.</summary>
    /// <param name="purpose">What does not fit, in front of the figures.</param>
    /// <param name="better">In place of the advice.</param>
    public OutOfDeviceMemoryException For(string purpose, string better) => new($"{purpose}: {facts}", better);
}
