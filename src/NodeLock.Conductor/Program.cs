using System.Text.Json;
using System.Text.Json.Serialization;
using NodeLock.ConductorService;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);

// Not in appsettings.json, which would overrule ASPNETCORE_URLS.
if (builder.Configuration["urls"] is null && builder.Configuration["http_ports"] is null)
    builder.WebHost.UseUrls("http://127.0.0.1:5080");

builder.AddFleet();
builder.Services.AddSingleton<BareMetal>().AddSingleton<Deployments>();
builder.AddPowerSync();
builder.Services.AddProblemDetails().AddExceptionHandler<Problems>();
builder.Services.Configure<RouteHandlerOptions>(handlers => handlers.ThrowOnBadRequest = true);
builder.Services.ConfigureHttpJsonOptions(json =>
    json.SerializerOptions.Converters.Add(new JsonStringEnumConverter(JsonNamingPolicy.CamelCase)));

WebApplication app = builder.Build();
app.UseExceptionHandler();
app.UseStatusCodePages();
app.MapNodes();
app.MapDeployments();
app.MapReservations();
app.Logger.FleetIs(app.Services.GetRequiredService<IFleet>().Location);
await app.RunAsync();
