/* What a dashboard of this project may hold: Grafana's types, with no property that they do not know. */
import type {
	AnnotationContainer, Dashboard as AnyDashboard, FieldConfig, MatcherConfig, Panel as AnyPanel, VariableModel,
} from "@grafana/schema";
import type * as BarGauge from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as Text from "@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

/* In JSON an enumeration is the text or the number that it stands for. */
type Json<T> = T extends string ? `${T}` : T extends number ? number : { [K in keyof T]: Json<T[K]> };

interface Source {
	type: "prometheus";
	uid: "${datasource}";
}

/* The data source's own type is in no package that has types alone. */
interface Target {
	datasource: Source;
	refId: string;
	expr: string;
	legendFormat: string;
	range: boolean;
	instant: boolean;
	format?: "table";
}

type Id<Properties> = keyof Omit<FieldConfig, "custom"> | `custom.${keyof Properties & string}`;

interface Configuration<Custom> {
	defaults: Omit<FieldConfig, "custom"> & { custom: Partial<Custom> };
	overrides: { matcher: MatcherConfig; properties: { id: Id<Custom>; value: unknown }[] }[];
}

type Common = Pick<AnyPanel, "id" | "title" | "description" | "gridPos" | "transformations">;

type Panel<Type, Options, Custom> = Required<Omit<Common, "transformations">> & Pick<Common, "transformations"> & {
	type: Type;
	options: Options;
	fieldConfig: Configuration<Custom>;
	datasource: Source;
	targets: Target[];
};

export type Dashboard = Json<Omit<AnyDashboard, "panels" | "templating" | "annotations"> & {
	uid: string;
	title: string;
	description: string;
	annotations: AnnotationContainer;
	templating: { list: VariableModel[] };
	panels: (
		| Panel<"timeseries", Omit<TimeSeries.Options, "timezone">, TimeSeries.FieldConfig>
		| Panel<"stat", Partial<Stat.Options>, {}>
		| Panel<"bargauge", Partial<BarGauge.Options>, {}>
		| Panel<"table", Partial<Table.Options>, Table.FieldConfig>
		| Omit<Panel<"text", Text.Options, {}>, "datasource" | "targets">
	)[];
}>;

/*
 * The files of provisioning, as Grafana's documentation describes them: it publishes no schema of them.
 * https://grafana.com/docs/grafana/latest/administration/provisioning/
 */
export interface DashboardProviders {
	apiVersion: 1;
	providers: {
		name: string;
		orgId?: number;
		folder?: string;
		folderUid?: string;
		type: "file";
		disableDeletion?: boolean;
		allowUiUpdates?: boolean;
		updateIntervalSeconds?: number;
		options: { path: string; foldersFromFilesStructure?: boolean };
	}[];
}

export interface DataSources {
	apiVersion: 1;
	prune?: boolean;
	deleteDatasources?: { name: string; orgId: number }[];
	datasources: {
		name: string;
		uid?: string;
		type: "prometheus";
		access: "proxy" | "direct";
		orgId?: number;
		url: string;
		user?: string;
		basicAuth?: boolean;
		basicAuthUser?: string;
		withCredentials?: boolean;
		isDefault?: boolean;
		editable?: boolean;
		version?: number;
		jsonData?: {
			timeInterval?: `${number}${"s" | "m" | "h"}`;
			queryTimeout?: string;
			httpMethod?: "GET" | "POST";
			manageAlerts?: boolean;
			prometheusType?: "Prometheus" | "Cortex" | "Mimir" | "Thanos";
			prometheusVersion?: string;
			cacheLevel?: "Low" | "Medium" | "High" | "None";
		};
		secureJsonData?: Record<string, string>;
	}[];
}
