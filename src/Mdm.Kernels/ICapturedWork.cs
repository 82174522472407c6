namespace Mdm.Kernels;

/// <summary>Work that was recorded once and can be queued again as a whole. It reads and writes the very memory that it was
/// recorded with; what it allocated stays reserved until it is disposed.</summary>
public interface ICapturedWork : IDisposable
{
    /// <summary>Queues the work.</summary>
    void Replay();
}
