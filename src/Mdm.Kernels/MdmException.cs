namespace Mdm.Kernels;

/// <summary>Something the user can mend: bad input, a missing library, too little memory. The message is one line that names
/// the thing, the value found and the value expected; the program prints it without a stack trace and exits with 1.</summary>
public class MdmException : Exception
{
    public MdmException(string message)
        : base(message)
    {
    }

    public MdmException(string message, Exception inner)
        : base(message, inner)
    {
    }
}
