using System.Data.Common;
using System.Globalization;
using Microsoft.AspNetCore.Diagnostics;
using Microsoft.AspNetCore.Mvc;

namespace NodeLock.ConductorService;

/// <summary>Answers what went wrong as problem details (RFC 9457).</summary>
internal sealed class Problems(ILogger<Problems> log) : IExceptionHandler
{
    private const int RetryAfterSeconds = 5;

    public async ValueTask<bool> TryHandleAsync(HttpContext httpContext, Exception exception,
        CancellationToken cancellationToken)
    {
        if (ProblemOf(exception) is not { } problem) return false;

        if (problem.Status is StatusCodes.Status409Conflict or StatusCodes.Status503ServiceUnavailable)
            httpContext.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
        await TypedResults.Problem(problem).ExecuteAsync(httpContext);
        return true;
    }

    private ProblemDetails? ProblemOf(Exception exception)
    {
        switch (exception)
        {
            case NodeLockedException locked:
                return LockedProblem(locked);
            case NodeNotFoundException:
                return Problem(StatusCodes.Status404NotFound, "There is no such node", exception.Message);
            case BadHttpRequestException bad:
                return Problem(bad.StatusCode, "The request cannot be understood", exception.Message);
            case NoFreeWorkerException:
                return Problem(StatusCodes.Status503ServiceUnavailable, "No worker is free",
                    "As much work as may runs in the background of this instance. Try again later, or another one.");
            case ConductorStoppingException:
                return Problem(StatusCodes.Status503ServiceUnavailable, "The service is stopping", exception.Message);
            case ReservationLostException:
                return Problem(StatusCodes.Status503ServiceUnavailable, "The node was lost", exception.Message);
            // What exactly is away is the operator's business: it goes to the log.
            case DbException or TimeoutException or { InnerException: DbException or TimeoutException }:
                log.StoreFailed(exception.GetBaseException().Message);
                return Problem(StatusCodes.Status503ServiceUnavailable, "The database is away",
                    "The database cannot be reached or used at this moment. Try again later.");
            default:
                return null;
        }
    }

    /// <summary>Who holds the node, why, and since when; each null while nobody can tell.</summary>
    private static ProblemDetails LockedProblem(NodeLockedException locked)
    {
        // The exception's own message speaks to the developer of this service.
        string detail = locked.Reservation is null
            ? $"Somebody else is about to have node {locked.NodeId}."
            : $"Node {locked.NodeId} is held for \"{locked.HolderPurpose}\" by {locked.Holder}.";
        detail += string.Create(CultureInfo.InvariantCulture,
            $" It was asked for {locked.Attempts} times over {locked.Waited.TotalSeconds:0.0} s.");

        ProblemDetails problem = Problem(StatusCodes.Status409Conflict, "The node is locked", detail);
        problem.Extensions["node"] = locked.NodeId;
        problem.Extensions["holder"] = locked.Holder;
        problem.Extensions["purpose"] = locked.HolderPurpose;
        problem.Extensions["since"] = locked.Since;
        problem.Extensions["fencingToken"] = locked.HolderFencingToken;
        return problem;
    }

    private static ProblemDetails Problem(int status, string title, string detail) =>
        new() { Status = status, Title = title, Detail = detail };
}
