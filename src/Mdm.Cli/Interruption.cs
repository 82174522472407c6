using System.Runtime.InteropServices;

namespace Mdm.Cli;

/// <summary>Turns the first Ctrl-C, or the first request to end (SIGTERM), into a cancelled token, so that work can be
/// saved; the second one ends the program at once.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private readonly string _announcement;

    /// <param name="announcement">Said when it happens.</param>
    public Interruption(string announcement)
    {
        _announcement = announcement;
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
        ];
    }

    public CancellationToken Token => _source.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
        _source.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        if (_source.IsCancellationRequested)
            return;
        context.Cancel = true;
        Terminal.Note($"{_announcement} (Ctrl-C again to stop at once)");
        _source.Cancel();
    }
}
